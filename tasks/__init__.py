"""Data sets, a module each: it registers tasks with SeqIO and reads nothing until one is used."""
