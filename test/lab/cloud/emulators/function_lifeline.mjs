/**
 * Loaded into each process of the emulated Lambda. A function that is at work would outlive the emulator, which holds the other
 * end of standard input.
 */
process.stdin.once("end", () => process.exit(1));
