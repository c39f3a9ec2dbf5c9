"""The promise that an interrupted run equals one left alone, put to the test by a user."""
