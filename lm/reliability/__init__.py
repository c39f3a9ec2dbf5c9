"""Checks on the user's machine that an interrupted run equals an uninterrupted one."""
