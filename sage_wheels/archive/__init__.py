"""ARCHIVES: strict readers for zip and tar files, which trust nothing that an archive says."""
