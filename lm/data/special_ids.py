"""The first ids of a vocabulary that is a list of characters or words; no framework is imported."""

SPECIAL_IDS = 3  # 0 padding, 1 end of sequence, 2 unknown
UNKNOWN_ID = 2
UNKNOWN_TEXT = "\ufffd"
