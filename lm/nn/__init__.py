"""Layers: branches that map x to x and may carry a state, and what they are made of.

`branch` has the interface that all of them keep, `residual` and `stack` what repeats them.
"""
