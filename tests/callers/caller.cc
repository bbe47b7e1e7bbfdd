// A gRPC client in C++ that knows no messages: each call's requests come from a file and its answers go to one. What they mean
// is the business of tests/callers.rs.
//
//   caller SOCKET  METHOD REQUESTS ANSWERS  [METHOD REQUESTS ANSWERS …]
//
// Messages in files are framed as on the wire: a zero byte, four bytes of length, the message. All calls use one connection.

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

static std::vector<std::string> read_messages(const char *path) {
    std::ifstream file(path, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(file)), {});
    std::vector<std::string> messages;
    for (size_t at = 0; at + 5 <= bytes.size();) {
        size_t length = 0;
        for (int n = 1; n < 5; n++) length = length << 8 | static_cast<unsigned char>(bytes[at + n]);
        messages.push_back(bytes.substr(at + 5, length));
        at += 5 + length;
    }
    return messages;
}

static void append(std::ofstream &file, const grpc::ByteBuffer &buffer) {
    std::vector<grpc::Slice> slices;
    if (!buffer.Dump(&slices).ok()) return;
    unsigned length = buffer.Length();
    char head[5] = {0, char(length >> 24), char(length >> 16), char(length >> 8), char(length)};
    file.write(head, 5);
    for (const auto &slice : slices) file.write(reinterpret_cast<const char *>(slice.begin()), slice.size());
}

static grpc::Status call(grpc::GenericStub &stub, const std::string &method, const char *requests, const char *answers) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    grpc::CompletionQueue queue;
    auto done = [&] {
        void *tag;
        bool ok = false;
        return queue.Next(&tag, &ok) && ok;
    };
    auto stream = stub.PrepareCall(&context, method, &queue);
    stream->StartCall(nullptr);
    bool open = done();
    for (const auto &message : read_messages(requests)) {
        if (!open) break;
        grpc::Slice slice(message);
        stream->Write(grpc::ByteBuffer(&slice, 1), nullptr);
        open = done();
    }
    if (open) {
        stream->WritesDone(nullptr);
        done();
    }
    std::ofstream file(answers, std::ios::binary);
    while (true) {
        grpc::ByteBuffer answer;
        stream->Read(&answer, nullptr);
        if (!done()) break;
        append(file, answer);
    }
    grpc::Status status;
    stream->Finish(&status, nullptr);
    done();
    queue.Shutdown();
    return status;
}

int main(int count, char **words) {
    auto channel = grpc::CreateChannel(std::string("unix:") + words[1], grpc::InsecureChannelCredentials());
    grpc::GenericStub stub(channel);
    for (int at = 2; at + 2 < count; at += 3) {
        grpc::Status status = call(stub, words[at], words[at + 1], words[at + 2]);
        if (!status.ok()) {
            std::cerr << words[at] << ": " << status.error_code() << " " << status.error_message() << "\n";
            return 1;
        }
    }
}
