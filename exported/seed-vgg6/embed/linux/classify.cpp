// Names what a picture shows, with ONNX Runtime's C++ API.
//
//     ./classify FOLDER photo.ppm        FOLDER is where this file lies; a binary PPM (P6) of any size
//
// Without a picture it runs the self-check and ends. Other files become one with:
//
//     convert photo.jpg -auto-orient photo.ppm

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <fstream>
#include <numeric>
#include <string>

#include "classifier.hpp"

namespace {

class Classifier {
public:
    explicit Classifier(const std::string& folder)
        : session_(environment_, (folder + "/" + model::kFile).c_str(), options()) {}

    std::array<float, model::kClasses> operator()(const model::Image& image) {
        auto input = model::preprocess(image);
        const std::array<std::int64_t, 4> shape = {1, model::kHeight, model::kWidth, 3};
        const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
        const Ort::Value tensor = Ort::Value::CreateTensor<model::Input>(
            memory, input.data(), input.size(), shape.data(), shape.size());
        const char* inputs[] = {model::kInputName};
        const char* outputs[] = {model::kOutputName};
        auto results = session_.Run(Ort::RunOptions{nullptr}, inputs, &tensor, 1, outputs, 1);
        return model::probabilities(results.front().GetTensorMutableData<model::Output>());
    }

private:
    static Ort::SessionOptions options() {
        Ort::SessionOptions options;
        options.SetIntraOpNumThreads(1);
        return options;
    }

    Ort::Env environment_{ORT_LOGGING_LEVEL_WARNING, "classify"};
    Ort::Session session_;
};

// The next number of a PPM's header, comments skipped.
int header_number(std::istream& file) {
    while ((file >> std::ws).peek() == '#') {
        std::string comment;
        std::getline(file, comment);
    }
    int value = 0;
    file >> value;
    return value;
}

model::Image read_ppm(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string magic(2, ' ');
    file.read(magic.data(), 2);
    const int w = header_number(file), h = header_number(file), largest = header_number(file);
    // One white space ends the header.
    file.get();
    constexpr int kLargestSide = 1 << 14;
    if (!file || magic != "P6" || w < 1 || h < 1 || w > kLargestSide || h > kLargestSide || largest != 255) {
        throw std::runtime_error(path + ": no binary PPM (P6) with 8 bits a channel");
    }
    std::vector<std::uint8_t> pixels(static_cast<std::size_t>(w) * static_cast<std::size_t>(h) * 3);
    if (!file.read(reinterpret_cast<char*>(pixels.data()), static_cast<std::streamsize>(pixels.size()))) {
        throw std::runtime_error(path + ": ends too early");
    }
    return model::shrink(pixels.data(), w, h);
}

void name_picture(Classifier& classify, const char* path) {
    const auto scores = classify(read_ppm(path));
    std::array<std::size_t, model::kClasses> order{};
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return scores[a] > scores[b]; });
    for (std::size_t rank = 0; rank < std::min<std::size_t>(3, order.size()); ++rank) {
        std::printf("%s\t%s\t%.1f %%\n", path, model::kLabels[order[rank]], 100.0 * scores[order[rank]]);
    }
}

}  // namespace

int main(int count, char** words) try {
    const std::string folder = count > 1 ? words[1] : ".";
    Classifier classify(folder);
    const float largest = model::self_check(classify, folder);
    std::printf("self-check: %d golden images, largest difference %g of %g allowed\n", model::kGoldenImages,
                static_cast<double>(largest), static_cast<double>(model::kTolerance));
    for (int index = 2; index < count; ++index) {
        name_picture(classify, words[index]);
    }
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
}
