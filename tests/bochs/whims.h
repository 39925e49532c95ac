/* Seeded random choices: what a specification leaves open, the test machine decides by these. */
#pragma once

#include <cstdint>

namespace bochs
{

class Whims
{
      public:
	/* 0: no whims; every chance is refused, every choice is the lowest. */
	uint64_t seed = 0;

	void start(uint64_t new_seed)
	{
		seed = state = new_seed;
	}
	/* True once in `one_in` times. */
	bool chance(unsigned one_in)
	{
		return seed && next() % one_in == 0;
	}
	/* lowest <= choice <= highest */
	uint64_t choose(uint64_t lowest, uint64_t highest)
	{
		uint64_t choices = highest - lowest + 1; /* 0: all numbers */

		if (!seed)
			return lowest;
		return choices ? lowest + next() % choices : next();
	}

      private:
	uint64_t state = 0;
	/* splitmix64 */
	uint64_t next()
	{
		uint64_t z = state += 0x9e3779b97f4a7c15;
		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
		z = (z ^ z >> 27) * 0x94d049bb133111eb;
		return z ^ z >> 31;
	}
};

} // namespace bochs
