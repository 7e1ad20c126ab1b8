"""Know what could be served: the tree of versions, their manifests, their bytes.

    versions   which models and versions exist, by name alone
    manifest   what `model.yaml` promises about one of them
    samples    the rows whose answers are known
    digest     what its bytes are
    staging    a private copy of them, hashed while it is made

Nothing here opens a model: names, sizes and bytes are all that is looked at.
"""
