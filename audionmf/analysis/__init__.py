"""From what is known of the sources to a decomposition of a mixture.

A file imports only from those that are named before it:

- `beside`: work in a thread of its own
- `clustering`: trees of alike things, and where to cut them
- `timbre_groups`: components grouped by the colour of their sound
- `starts`: random starts and how far they end apart
- `likeness`: how alike components sound
- `doubt`: how far it is in doubt whose a component is
- `cues`: which components belong together
- `evidence`: what the models leave unexplained
- `naming`: names for sources that were found blind
- `activations`: activations for every frame of a recording
- `patterns`: courses of struck sounds
- `learning`: templates and patterns from recordings of a source alone
- `variants`: the sources of a kit: one pattern each, and which are heard
- `by_patterns`: sources that are struck sounds
- `scored_strokes`: struck sounds whose strokes are known
- `coverage`: notes that examples lack
- `component_features`: what a component of the mixture has of each source
- `component_examples`: how alike it sounds to the examples
- `component_owner`: whose it is
- `component_stretches`: where in the mixture components are looked at
- `component_votes`: their say in the masks
- `note_groups`: which groups of notes a source has
- `note_votes`: the say of its notes and noises
- `exemplars`: sources of which frames are known, and how they go on
- `by_example`: sources whose sound is known
- `score_voices`: what stands for notes and strokes of a score, and when it may sound
- `note_spectra`: combs of partials
- `note_model`: the notes of a score as a term of a sum
- `by_score`: sources whose notes are known
- `lead_pitches`: pitches that may be a lead's, and what they sound like
- `lead_course`: which of them the lead has when
- `voice_model`: a leading voice as a term of a sum
- `by_lead`: one voice that leads, and its accompaniment
- `by_several`: sources of which different things are known, in one sum
- `blind`: sources of which nothing is known
- `hinted`: sources found by ear, corrected by hints
- `by_medians`: harmonic and percussive sound
- `components`: every component for itself
- `forewarning`: a number of sources that takes minutes
- `refinement`: components moved by hints
- `analysing`: which way suits what is known
"""
