"""A CONTENT-ADDRESSED STORE of what was built, unpacked or compiled before, so that it need not be done again.

    content    files under their SHA-256: wheels, logs, byte-code
    results    what was made from certain inputs, under the digest of these inputs: names of contents, and values
    trees      wheels unpacked (images), under the digest of what they were made from

Everybody else uses `store.Store`. Behind its local directory there may be a second store (`tiers.Tier`).
"""
