// What no engine is needed for: the classes, the preprocessing and the self-check. C++17.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace model {

inline constexpr const char* kFile = "model.int8.onnx";
inline constexpr const char* kInputName = "image";
inline constexpr const char* kOutputName = "probabilities";
inline constexpr int kHeight = 32;
inline constexpr int kWidth = 32;
inline constexpr int kClasses = 10;
inline constexpr int kGoldenImages = 16;
// Largest difference in a probability to what the export measured.
inline constexpr float kTolerance = 0.0078125f;
inline constexpr std::array<const char*, kClasses> kLabels = {
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
};

using Input = std::uint8_t;
using Output = std::uint8_t;
// Rows from the top, RGB.
using Image = std::array<std::uint8_t, kHeight * kWidth * 3>;

// Stretches a picture of w x h pixels to the model's size; each pixel is the mean of its area.
inline Image shrink(const std::uint8_t* picture, int w, int h) {
    Image out{};
    for (int y = 0; y < kHeight; ++y) {
        const std::int64_t top = std::int64_t{y} * h / kHeight;
        const std::int64_t bottom = std::max(top + 1, (std::int64_t{y} + 1) * h / kHeight);
        for (int x = 0; x < kWidth; ++x) {
            const std::int64_t left = std::int64_t{x} * w / kWidth;
            const std::int64_t right = std::max(left + 1, (std::int64_t{x} + 1) * w / kWidth);
            const std::int64_t count = (bottom - top) * (right - left);
            for (int channel = 0; channel < 3; ++channel) {
                std::int64_t sum = 0;
                for (std::int64_t row = top; row < bottom; ++row) {
                    for (std::int64_t column = left; column < right; ++column) {
                        sum += picture[(row * w + column) * 3 + channel];
                    }
                }
                out[static_cast<std::size_t>((y * kWidth + x) * 3 + channel)] =
                    static_cast<std::uint8_t>((sum + count / 2) / count);
            }
        }
    }
    return out;
}

// The model's input for an image.
inline std::vector<Input> preprocess(const Image& image) {
    // The model takes the pixels as they are.
    return {image.begin(), image.end()};
}

// The model's output as one probability for each class.
inline std::array<float, kClasses> probabilities(const Output* output) {
    std::array<float, kClasses> result{};
    for (std::size_t index = 0; index < result.size(); ++index) {
        result[index] = (static_cast<float>(output[index]) - (0)) * 0.00390625f;
    }
    return result;
}

inline std::vector<char> read_file(const std::string& path, std::size_t size) {
    std::vector<char> content(size);
    std::ifstream file(path, std::ios::binary);
    if (!file.read(content.data(), static_cast<std::streamsize>(size))) {
        throw std::runtime_error(path + ": cannot be read");
    }
    return content;
}

// Returns the largest difference in a probability on the golden images; throws if it is too large.
// `classify` takes an Image and returns the probabilities.
template <typename Classify>
float self_check(Classify&& classify, const std::string& folder) {
    const auto images = read_file(folder + "/golden/images.bin", kGoldenImages * sizeof(Image));
    std::vector<float> expected(kGoldenImages * kClasses);
    // Little-endian floats, as on every machine that ONNX Runtime is built for.
    const auto stored = read_file(folder + "/golden/expected.onnx.bin", expected.size() * sizeof(float));
    std::memcpy(expected.data(), stored.data(), stored.size());
    float largest = 0;
    for (std::size_t number = 0; number < kGoldenImages; ++number) {
        Image image{};
        std::memcpy(image.data(), images.data() + number * sizeof(Image), sizeof(Image));
        const std::array<float, kClasses> found = classify(image);
        for (std::size_t index = 0; index < kClasses; ++index) {
            const float difference = std::fabs(found[index] - expected[number * kClasses + index]);
            // Written so that a NaN fails.
            if (!(difference <= kTolerance)) {
                throw std::runtime_error("self-check failed: a probability is off by " +
                                         std::to_string(difference) + ", more than " +
                                         std::to_string(kTolerance));
            }
            largest = std::max(largest, difference);
        }
    }
    return largest;
}

}  // namespace model
