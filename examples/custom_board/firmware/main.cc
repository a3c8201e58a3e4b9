// A doorbell without its model: what it does with flash and RAM before TFLM comes in.
// No C library and no vendor's SDK, so that it builds wherever arm-none-eabi-g++ is.

#include <cstddef>
#include <cstdint>

namespace {

// The microphone's DMA fills one half while the other is worked on: 16 kHz, 16 bits, half a second.
volatile std::int16_t audio[2][4096];

// Frames on their way to and from the radio.
volatile std::uint8_t radio[24][256];

// What the display shows while it rings; in flash.
constexpr std::size_t kPictures = 6;
constexpr std::size_t kPictureBytes = 128 * 64;
const std::uint8_t pictures[kPictures][kPictureBytes] = {{0x3c}, {0x42}, {0x81}, {1}, {2}, {3}};

// Settings: copied from flash to RAM when the firmware starts.
volatile std::uint32_t settings[128] = {1, 60, 3600};

volatile std::uint32_t& reg(std::uint32_t address) {
  return *reinterpret_cast<volatile std::uint32_t*>(address);
}

constexpr std::uint32_t kMicrophone = 0x40013000, kRadio = 0x40014000, kDisplay = 0x40015000;

}  // namespace

int main() {
  for (std::uint32_t tick = 0;; ++tick) {
    audio[(tick >> 12) & 1][tick & 4095] = static_cast<std::int16_t>(reg(kMicrophone));
    radio[tick % 24][tick & 255] = static_cast<std::uint8_t>(reg(kRadio) + settings[tick & 127]);
    reg(kDisplay) = pictures[tick % kPictures][tick % kPictureBytes];
    reg(kRadio) = radio[(tick + 1) % 24][tick & 255] + audio[(tick >> 12) & 1][tick & 4095];
  }
}

extern "C" {

extern std::uint32_t data_in_flash, data_start, data_end, bss_start, bss_end, stack_top;

void reset() {
  const volatile std::uint32_t* from = &data_in_flash;
  for (volatile std::uint32_t* to = &data_start; to < &data_end; ++to) *to = *from++;
  for (volatile std::uint32_t* to = &bss_start; to < &bss_end; ++to) *to = 0;
  main();
}

__attribute__((section(".vectors"), used)) const void* const vectors[] = {
    &stack_top, reinterpret_cast<const void*>(reset)};

}  // extern "C"
