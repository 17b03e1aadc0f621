"""The cases of the conformance suite h2spec, and some that it lacks, told to a live listener frame by frame; one module per group."""
