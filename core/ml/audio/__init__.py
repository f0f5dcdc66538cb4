"""Decoding of audio and extraction of features.

Letters in array shapes, used by every docstring of `core.ml`:
B batch, T samples, F mel bands, N frames, P patches, L labels, D embedding size.
"""
