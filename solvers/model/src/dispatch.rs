//! Loops over lanes, compiled for several instruction sets and chosen at run time.
//!
//! The build targets the baseline of the architecture, so that one binary runs everywhere; a loop worth it is put into a
//! [`Kernel`], which [`dispatch`] runs in a copy compiled for AVX-512 or AVX2 where the processor has it (about 2 to 4
//! times faster in 64-bit floats than SSE2). On other architectures the baseline copy runs.
//!
//! The bits do not depend on the copy: rustc neither fuses a product and a sum nor reorders floating-point operations, so a
//! kernel that uses neither `mul_add` nor a function of the platform's mathematical library computes the same numbers in
//! every register width. [`dispatch_on`] runs a chosen copy, for tests of just that.
//!
//! This is the only file of the workspace with `unsafe` code: the call of a function whose target features the processor
//! has been asked for.

#![allow(unsafe_code)]

use std::sync::OnceLock;

/// A loop to be compiled for each instruction set.
///
/// [`Kernel::run`] must be `#[inline(always)]`, and so must every function of ours that it calls and that should be
/// compiled with it; a call that is not inlined runs its baseline copy, which is slower but gives the same bits.
pub trait Kernel {
    /// What the loop returns.
    type Output;

    /// The loop.
    fn run(self) -> Self::Output;
}

/// Instruction sets for which kernels are compiled, from narrow to wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum InstructionSet {
    /// What the build targets: SSE2 on x86-64, NEON on aarch64.
    Baseline,
    /// AVX2, 256 bits (x86-64).
    Avx2,
    /// AVX-512 F, BW, DQ and VL, 512 bits (x86-64).
    Avx512,
}

impl InstructionSet {
    /// All of them.
    pub const ALL: [InstructionSet; 3] = [InstructionSet::Baseline, InstructionSet::Avx2, InstructionSet::Avx512];

    /// The widest that this processor has; asked once.
    #[inline]
    pub fn detected() -> InstructionSet {
        static DETECTED: OnceLock<InstructionSet> = OnceLock::new();
        *DETECTED.get_or_init(detect)
    }
}

#[cfg(target_arch = "x86_64")]
fn detect() -> InstructionSet {
    let wide = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    match (wide, is_x86_feature_detected!("avx2")) {
        (true, true) => InstructionSet::Avx512,
        (false, true) => InstructionSet::Avx2,
        (_, false) => InstructionSet::Baseline,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> InstructionSet {
    InstructionSet::Baseline
}

/// Run the kernel's copy for the widest instruction set of this processor.
#[inline]
pub fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    dispatch_on(InstructionSet::Avx512, kernel)
}

/// Run the kernel's copy for `set`, or for the widest one that the processor has if that is narrower.
#[inline]
pub fn dispatch_on<K: Kernel>(set: InstructionSet, kernel: K) -> K::Output {
    match set.min(InstructionSet::detected()) {
        InstructionSet::Baseline => kernel.run(),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has been asked for exactly the features that the function enables.
        InstructionSet::Avx2 => unsafe { avx2(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        InstructionSet::Avx512 => unsafe { avx512(kernel) },
        #[cfg(not(target_arch = "x86_64"))]
        _ => kernel.run(),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// y = x / (1 + x^2), a product and a sum that a fused operation would round once instead of twice.
    struct Bell<'a>(&'a [f64], &'a mut [f64]);

    impl Kernel for Bell<'_> {
        type Output = ();
        #[inline(always)]
        fn run(self) {
            for (x, y) in self.0.iter().zip(self.1) {
                *y = x / (1.0 + x * x);
            }
        }
    }

    #[test]
    fn every_copy_gives_the_same_bits() {
        let x: Vec<f64> = (0..1003).map(|i| (i as f64 * 0.37).sin() * 3.0).collect();
        let expected: Vec<f64> = x.iter().map(|x| x / (1.0 + x * x)).collect();
        for set in InstructionSet::ALL {
            let mut y = vec![0.0; x.len()];
            dispatch_on(set, Bell(&x, &mut y));
            assert_eq!(y, expected, "{set:?}");
        }
    }

    #[test]
    fn detection_is_constant_and_bounded_by_the_architecture() {
        assert_eq!(InstructionSet::detected(), InstructionSet::detected());
        assert!(InstructionSet::Baseline < InstructionSet::Avx512);
        if cfg!(not(target_arch = "x86_64")) {
            assert_eq!(InstructionSet::detected(), InstructionSet::Baseline);
        }
    }
}
