"""The first ids of vocabularies of characters or words; imports no framework."""

SPECIAL_IDS = 3  # 0 padding, 1 end of sequence, 2 unknown
UNKNOWN_ID = 2
UNKNOWN_TEXT = "\ufffd"
