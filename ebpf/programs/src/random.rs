//! Random numbers.

/// The next number of a sequence, uniform over all but 0: xorshift32 (Marsaglia, 2003). Never give it 0.
#[inline(always)]
pub fn next_random(mut state: u32) -> u32 {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    state
}
