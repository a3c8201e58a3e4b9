"""Git LFS: the text that git leaves in a file's place where its content was not fetched."""

from __future__ import annotations


#: What such a text begins with: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
POINTER = b"version https://git-lfs.github.com/spec/"

#: What to say of one, after the file's name.
IS_A_POINTER = (
    "is a Git LFS pointer, not the file itself: git lfs pull fetches it, in GitHub Actions "
    "actions/checkout with lfs: true"
)
