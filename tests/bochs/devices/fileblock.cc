/* Reads and writes the file, by pread() and pwrite(). */
#include <bochs/devices/fileblock.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace bochs
{

std::unique_ptr<FileBlock> FileBlock::open(const std::string &path, bool read_only,
					   std::string &wrong)
{
	int file = ::open(path.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	struct stat status;

	if (file < 0) {
		wrong = path + ": " + strerror(errno);
		return nullptr;
	}
	if (fstat(file, &status) < 0 || !S_ISREG(status.st_mode)) {
		wrong = path + ": it is not a file";
		close(file);
		return nullptr;
	}
	return std::unique_ptr<FileBlock>(
		new FileBlock(file, (uint64_t)status.st_size / SECTOR, read_only));
}

FileBlock::FileBlock(int file_, uint64_t sectors_, bool read_only_)
	: file(file_), size(sectors_), fixed(read_only_)
{
}

FileBlock::~FileBlock()
{
	close(file);
}

uint64_t FileBlock::sectors() const
{
	return size;
}

bool FileBlock::read_only() const
{
	return fixed;
}

bool FileBlock::read(uint64_t sector, void *to, unsigned count)
{
	uint8_t *at = static_cast<uint8_t *>(to);
	size_t left = (size_t)count * SECTOR;
	off_t offset = (off_t)(sector * SECTOR);

	while (left) {
		ssize_t n = pread(file, at, left, offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		offset += n;
		left -= (size_t)n;
	}
	return true;
}

bool FileBlock::write(uint64_t sector, const void *from, unsigned count)
{
	const uint8_t *at = static_cast<const uint8_t *>(from);
	size_t left = (size_t)count * SECTOR;
	off_t offset = (off_t)(sector * SECTOR);

	while (left) {
		ssize_t n = pwrite(file, at, left, offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		offset += n;
		left -= (size_t)n;
	}
	return true;
}

bool FileBlock::flush()
{
	return fdatasync(file) == 0;
}

} // namespace bochs
