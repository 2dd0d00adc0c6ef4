"""One file for each model; they share `encoder_decoder.py`."""
