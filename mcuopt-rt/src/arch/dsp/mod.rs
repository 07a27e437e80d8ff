//! Kernel bodies for the DSP instructions of Armv7E-M and Armv8-M Mainline.
