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
    // Every Cortex-M4, M7, M55 and M85 has the DSP instructions. On Cortex-M33 and M35P they are an option, which nearly all
    // chips have; for cores without (the second one of NXP's LPC55S69) there is the variable.
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
