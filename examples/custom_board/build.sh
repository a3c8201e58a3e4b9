#!/bin/sh
# Builds the firmware, which writes build/firmware.elf and build/firmware.map.
set -eu
cd "$(dirname "$0")"
mkdir -p build
arm-none-eabi-g++ -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 -Os \
    -ffreestanding -fno-exceptions -fno-rtti -nostdlib -Wall -Wextra \
    -T firmware/doorbell.ld -Wl,-Map=build/firmware.map \
    firmware/main.cc -o build/firmware.elf
arm-none-eabi-size build/firmware.elf
