"""Arrays of sound: the STFT and what is read off its frames.

A file imports only from those that are named before it:

- `extension`: machine code of SciPy without the rest of it
- `machine_code`: what LLVM makes for this processor, kept
- `fourier_code`: the Fourier transform in wide vectors, as machine code
- `fourier`: the Fourier transform of real signals
- `blas`: threads of products of matrices
- `in_order`: blocks that several threads work on
- `fused`: arithmetic on frames in one pass over the memory
- `stft`: the transform and its exact inverse, whole or in blocks
- `log_stft`: the same with narrow bins at the bottom, and which of the two is asked for
- `transport`: sound between two sounds, by optimal transport
- `live_stft`: the same for a signal that is still being played
- `rows`: sums of neighbouring rows
- `bands`: single bins at the bottom, fractions of an octave above
- `neighbours`: what comes before and after a frame
- `frames`: from a recording to the V that a factorisation sees
- `masks`: shares of the sources in each bin
- `device`: arrays on a graphics card
- `means`: running means
- `medians`: harmonic and percussive sound
- `consistency`: phases of the stems
- `spatial`: places in a stereo image
- `mel`: the mel scale
- `timbre`: pitch, brightness and ring of spectra
- `harmonic`: partials and tonality
"""
