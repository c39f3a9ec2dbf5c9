"""Data sets, one module each: importing it registers tasks with SeqIO and reads no data."""
