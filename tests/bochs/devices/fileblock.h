/* A disk that is a file: whole sectors of it; bytes behind the last whole one are left out. */
#pragma once

#include <memory>
#include <string>
#include <bochs/devices/virtioblk.h>

namespace bochs
{

class FileBlock : public BlockBackend
{
      public:
	/* nullptr: it cannot be opened; `wrong` says why. */
	static std::unique_ptr<FileBlock> open(const std::string &path, bool read_only,
					       std::string &wrong);
	~FileBlock() override;

	uint64_t sectors() const override;
	bool read_only() const override;
	bool read(uint64_t sector, void *to, unsigned count) override;
	bool write(uint64_t sector, const void *from, unsigned count) override;
	bool flush() override;

      private:
	FileBlock(int file, uint64_t sectors, bool read_only);
	FileBlock(const FileBlock &) = delete;
	FileBlock &operator=(const FileBlock &) = delete;

	const int file;
	const uint64_t size;
	const bool fixed;
};

} // namespace bochs
