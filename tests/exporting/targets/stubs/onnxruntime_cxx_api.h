// A stand-in for ONNX Runtime's C++ header, which no package registry of Python, Node or Debian 12 has: the
// classes that the example uses, over the C API of the library in the onnxruntime package. The C API is a
// table of functions to which versions only add; the numbers are their places, the same since version 1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

enum OrtLoggingLevel { ORT_LOGGING_LEVEL_WARNING = 2 };
enum OrtAllocatorType { OrtArenaAllocator = 1 };
enum OrtMemType { OrtMemTypeDefault = 0 };

struct OrtApiBase {
    const void* (*GetApi)(std::uint32_t version);
    const char* (*GetVersionString)();
};
extern "C" const OrtApiBase* OrtGetApiBase();

namespace Ort {

template <typename... Arguments>
void* call(std::size_t place, Arguments... arguments) {
    const auto table = static_cast<void* const*>(OrtGetApiBase()->GetApi(1));
    return reinterpret_cast<void* (*)(Arguments...)>(table[place])(arguments...);
}

template <typename... Arguments>
void check(std::size_t place, Arguments... arguments) {
    if (void* status = call(place, arguments...)) {
        const char* text = static_cast<const char*>(call(2, static_cast<const void*>(status)));
        throw std::runtime_error(text);
    }
}

// What is released when it goes: an object of the C API.
template <std::size_t kRelease>
struct Owned {
    void* held = nullptr;
    Owned() = default;
    Owned(const Owned&) = delete;
    Owned(Owned&& other) noexcept : held(other.held) { other.held = nullptr; }
    ~Owned() {
        if (held != nullptr) call(kRelease, held);
    }
};

struct Env : Owned<92> {
    Env(OrtLoggingLevel level, const char* id) { check(3, static_cast<int>(level), id, &held); }
};

struct SessionOptions : Owned<100> {
    SessionOptions() { check(10, &held); }
    SessionOptions& SetIntraOpNumThreads(int count) {
        check(24, held, count);
        return *this;
    }
};

struct MemoryInfo : Owned<94> {
    static MemoryInfo CreateCpu(OrtAllocatorType allocator, OrtMemType type) {
        MemoryInfo made;
        check(69, static_cast<int>(allocator), static_cast<int>(type), &made.held);
        return made;
    }
};

template <typename T> inline constexpr int kElement = 0;
template <> inline constexpr int kElement<float> = 1;
template <> inline constexpr int kElement<std::uint8_t> = 2;
template <> inline constexpr int kElement<std::int8_t> = 3;

struct Value : Owned<96> {
    template <typename T>
    static Value CreateTensor(const MemoryInfo& memory, T* data, std::size_t count, const std::int64_t* shape,
                              std::size_t rank) {
        Value made;
        check(49, static_cast<const void*>(memory.held), static_cast<void*>(data), count * sizeof(T), shape, rank,
              kElement<T>, &made.held);
        return made;
    }
    template <typename T>
    T* GetTensorMutableData() {
        void* data = nullptr;
        check(51, held, &data);
        return static_cast<T*>(data);
    }
};

struct RunOptions {
    explicit RunOptions(std::nullptr_t) {}
};

struct Session : Owned<95> {
    Session(Env& environment, const char* path, const SessionOptions& options) {
        check(7, static_cast<const void*>(environment.held), path, static_cast<const void*>(options.held), &held);
    }
    std::vector<Value> Run(const RunOptions&, const char* const* inputs, const Value* values, std::size_t count,
                           const char* const* outputs, std::size_t results) {
        std::vector<Value> made(results);
        // The C API takes and gives arrays of pointers, which is what a Value is.
        static_assert(sizeof(Value) == sizeof(void*));
        check(9, held, static_cast<const void*>(nullptr), inputs, reinterpret_cast<const void* const*>(values), count,
              outputs, results, reinterpret_cast<void**>(made.data()));
        return made;
    }
};

}  // namespace Ort
