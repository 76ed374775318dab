//! Philox4x32-10, a counter-based generator: ten rounds of a keyed bijection of 128-bit counters.
//!
//! The rounds are written on 64-bit words whose upper halves may carry rubbish between rounds: only the low halves enter
//! the products, which is what one `pmuludq` computes, so the lane loop vectorises on the x86-64 baseline.
//!
//! Reference: Salmon, Moraes, Dror, Shaw, *Parallel random numbers: as easy as 1, 2, 3*, Proc. SC 2011; the known
//! answers are those of the authors' Random123 library.

use super::{LANES, split};

const M0: u64 = 0xD251_1F53;
const M1: u64 = 0xCD9E_8D57;
const W0: u32 = 0x9E37_79B9;
const W1: u32 = 0xBB67_AE85;
const LOW: u64 = 0xFFFF_FFFF;
const ROUNDS: usize = 10;

/// The ten round keys.
#[inline(always)]
pub(super) fn key_schedule(key: [u32; 2]) -> [[u64; 2]; ROUNDS] {
    let mut keys = [[0; 2]; ROUNDS];
    let [mut k0, mut k1] = key;
    for k in &mut keys {
        *k = [u64::from(k0), u64::from(k1)];
        k0 = k0.wrapping_add(W0);
        k1 = k1.wrapping_add(W1);
    }
    keys
}

/// Ten rounds; upper halves of the result are not cleared.
#[inline(always)]
fn rounds(mut x: [u64; 4], keys: &[[u64; 2]; ROUNDS]) -> [u64; 4] {
    for k in keys {
        let p0 = (x[0] & LOW).wrapping_mul(M0);
        let p1 = (x[2] & LOW).wrapping_mul(M1);
        x = [(p1 >> 32) ^ x[1] ^ k[0], p1, (p0 >> 32) ^ x[3] ^ k[1], p0];
    }
    x
}

/// The two 64-bit numbers of a counter, low word first.
#[inline(always)]
fn pair(x: [u64; 4]) -> (u64, u64) {
    ((x[0] & LOW) | (x[1] << 32), (x[2] & LOW) | (x[3] << 32))
}

/// The four 32-bit words that Philox4x32-10 assigns to `counter` under `key`.
pub fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    rounds(counter.map(u64::from), &key_schedule(key)).map(|w| w as u32)
}

/// Counter (path, group of steps, component): the path's 64 bits are the low words.
#[inline(always)]
pub(super) fn pair_of_path(path: u64, position: [u32; 2], keys: &[[u64; 2]; ROUNDS]) -> (u64, u64) {
    let [low, high] = split(path);
    pair(rounds([u64::from(low), u64::from(high), u64::from(position[0]), u64::from(position[1])], keys))
}

/// The counter of the first lane of a block, low and high word, in a form to which lane numbers can be added: there is no
/// carry into the high word, because the number of the first path is a multiple of LANES.
#[inline(always)]
pub(super) fn first_of_block(block: u64) -> (u64, u64) {
    let first = block.wrapping_mul(LANES as u64);
    (first & LOW, first >> 32)
}

/// [`pair_of_path`] for one lane of a block.
#[inline(always)]
pub(super) fn pair_of_lane((low, high): (u64, u64), lane: usize, position: [u32; 2], keys: &[[u64; 2]; ROUNDS]) -> (u64, u64) {
    pair(rounds([low + lane as u64, high, u64::from(position[0]), u64::from(position[1])], keys))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_random123() {
        assert_eq!(philox4x32_10([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox4x32_10([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox4x32_10([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn lanes_equal_single_counters_across_the_32_bit_border() {
        let key = [7, 11];
        let keys = key_schedule(key);
        for block in [0, 1, (1 << 26) - 1, 1 << 26, u64::MAX / LANES as u64] {
            for lane in 0..LANES {
                let (a, b) = pair_of_lane(first_of_block(block), lane, [3, 5], &keys);
                let path = block * LANES as u64 + lane as u64;
                let w = philox4x32_10([path as u32, (path >> 32) as u32, 3, 5], key).map(u64::from);
                assert_eq!((a, b), (w[0] | w[1] << 32, w[2] | w[3] << 32));
            }
        }
    }
}
