"""From a decomposition and a mixture to stems, block by block.

A file imports only from those that are named before it:

- `grouping`: which components make which source
- `absent`: frames in which sources do not play
- `fields`: fields of a model file, checked
- `voters`: components of the mixture alone that have a say in the masks
- `decomposition`: what a mixture is made of, as a small file
- `trust`: how far to trust each stem
- `stems`: where stems go and how they are written
- `blocks`: masks, inverse STFT
- `remixing`: a gain for each source, one recording out of all of them
"""
