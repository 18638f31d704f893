"""The probe in the training loops of other libraries, one file each, imported late."""
