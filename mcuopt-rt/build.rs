//! Tells the crate which instructions its target has: stable rustc shows no `target_feature` for ARM, but the target's
//! name says most of it.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=MCUOPT_NO_DSP");
    println!("cargo::rustc-check-cfg=cfg(mcuopt_dsp)");
    println!("cargo::rustc-check-cfg=cfg(mcuopt_armv8m)");
    println!("cargo::rustc-check-cfg=cfg(mcuopt_thumb2)");
    let target = env::var("TARGET").unwrap_or_default();
    let refused = env::var_os("MCUOPT_NO_DSP").is_some();
    // Every Cortex-M4 and M7 has the DSP instructions, and every Cortex-M33, M35P, M55 and M85 on the market; for a chip
    // without them there is the variable.
    let dsp = ["thumbv7em-", "thumbv8m.main-"].iter().any(|prefix| target.starts_with(prefix));
    if dsp && !refused {
        println!("cargo::rustc-cfg=mcuopt_dsp");
    }
    if ["thumbv7m-", "thumbv7em-", "thumbv8m.main-"].iter().any(|prefix| target.starts_with(prefix)) {
        println!("cargo::rustc-cfg=mcuopt_thumb2");
    }
    if target.starts_with("thumbv8m.") {
        println!("cargo::rustc-cfg=mcuopt_armv8m");
    }
}
