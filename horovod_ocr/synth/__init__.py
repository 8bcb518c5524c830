"""Rendered words: training data whose labels are right by construction.

lexicon.py    which words: from wordfreq's list, and random letter strings that balance its letters
render.py     a word -> its picture (HarfBuzz shapes it, FreeType draws every glyph once)
degrade.py    a picture -> a light scan of it
generate.py   N of them into a raw folder: images/ and labels.tsv
fonts/        Noto Nastaliq Urdu, with its licence
"""
