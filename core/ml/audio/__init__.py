"""Audio in, features out.

Letters in array shapes, used by every docstring of the learning half:
B batch, T samples, F mel bands, N frames, P patches, L labels, D embedding size.
"""
