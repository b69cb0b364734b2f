"""THE STORE: what was built, unpacked or compiled before, so that nobody does it again.

    content    files under their SHA-256: wheels, logs, byte-code
    results    what was made of certain inputs, under the digest of these: names of contents, and values
    trees      wheels unpacked (images), under the digest of what they were made from

`Store` is the interface; a second tier (`tiers.Tier`) may stand behind the local directory.
"""
