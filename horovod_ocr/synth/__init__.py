"""Rendered words: training data with labels that are right by construction.

lexicon.py    which words: from wordfreq's list, and random letter strings that repair its imbalance
render.py     a word -> its picture (HarfBuzz shapes, FreeType draws, every glyph once)
degrade.py    the picture as a light scan of print
generate.py   N of them into a raw folder: images/ and labels.tsv
fonts/        Noto Nastaliq Urdu, with its licence
"""
