"""What the modules of data sets share: tables with labels, translations, texts, local files."""
