// A gRPC client in Java that knows no messages: each call's requests come from a file and its answers go to one. What they mean
// is the business of tests/callers.rs.
//
//   java Caller SOCKET  METHOD REQUESTS ANSWERS  [METHOD REQUESTS ANSWERS …]
//
// Messages in files are framed as on the wire: a zero byte, four bytes of length, the message. All calls use one connection.
//
// Debian's Netty comes without the library that opens Unix sockets. So the channel is told the socket's path, as it would be
// with that library, and sends it as `:authority`; its bytes go over loopback to a thread that pumps them into the socket.

import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.util.concurrent.DefaultThreadFactory;
import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ByteChannel;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

public class Caller {
    /** Prints as Netty's own address of a Unix socket does: the path alone. */
    static final class PathAddress extends SocketAddress {
        final String path;

        PathAddress(String path) {
            this.path = path;
        }

        @Override
        public String toString() {
            return path;
        }
    }

    /** Goes to the pump, whatever address it is told. */
    static final class PumpedChannel extends NioSocketChannel {
        static SocketAddress pump;

        @Override
        protected boolean doConnect(SocketAddress remote, SocketAddress local) throws Exception {
            return super.doConnect(pump, local);
        }
    }

    static final class Bytes implements MethodDescriptor.Marshaller<byte[]> {
        @Override
        public InputStream stream(byte[] message) {
            return new ByteArrayInputStream(message);
        }

        @Override
        public byte[] parse(InputStream stream) {
            try {
                return stream.readAllBytes();
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }
    }

    static void start(Runnable work) {
        Thread thread = new Thread(work);
        thread.setDaemon(true);
        thread.start();
    }

    static void pump(ByteChannel from, SocketChannel to) {
        ByteBuffer buffer = ByteBuffer.allocate(1 << 16);
        try {
            while (from.read(buffer) >= 0) {
                buffer.flip();
                while (buffer.hasRemaining()) {
                    to.write(buffer);
                }
                buffer.clear();
            }
            to.shutdownOutput();
        } catch (IOException closed) {
            // The other end sees it.
        }
    }

    static SocketAddress startPump(String socket) throws IOException {
        ServerSocketChannel server = ServerSocketChannel.open().bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        start(() -> {
            try {
                while (true) {
                    SocketChannel near = server.accept();
                    SocketChannel far = SocketChannel.open(UnixDomainSocketAddress.of(socket));
                    start(() -> pump(near, far));
                    start(() -> pump(far, near));
                }
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        });
        return server.getLocalAddress();
    }

    static void call(ManagedChannel channel, String method, Path requests, Path answers) throws Exception {
        MethodDescriptor<byte[], byte[]> descriptor = MethodDescriptor.<byte[], byte[]>newBuilder()
            .setType(MethodDescriptor.MethodType.BIDI_STREAMING)
            .setFullMethodName(method.substring(1))
            .setRequestMarshaller(new Bytes())
            .setResponseMarshaller(new Bytes())
            .build();
        CompletableFuture<Status> ended = new CompletableFuture<>();
        ClientCall<byte[], byte[]> call = channel.newCall(descriptor, CallOptions.DEFAULT.withDeadlineAfter(60, TimeUnit.SECONDS));
        try (DataOutputStream file = new DataOutputStream(Files.newOutputStream(answers))) {
            call.start(new ClientCall.Listener<byte[]>() {
                @Override
                public void onMessage(byte[] message) {
                    try {
                        file.writeByte(0);
                        file.writeInt(message.length);
                        file.write(message);
                    } catch (IOException error) {
                        throw new UncheckedIOException(error);
                    }
                    call.request(1);
                }

                @Override
                public void onClose(Status status, Metadata trailers) {
                    ended.complete(status);
                }
            }, new Metadata());
            call.request(1);
            try (DataInputStream input = new DataInputStream(Files.newInputStream(requests))) {
                while (input.read() >= 0) {
                    call.sendMessage(input.readNBytes(input.readInt()));
                }
            }
            call.halfClose();
            Status status = ended.get();
            if (!status.isOk()) {
                throw new IOException(method + ": " + status);
            }
        }
    }

    public static void main(String[] words) throws Exception {
        PumpedChannel.pump = startPump(words[0]);
        // Daemons, so that an error ends the program.
        NioEventLoopGroup loops = new NioEventLoopGroup(1, new DefaultThreadFactory("loop", true));
        ManagedChannel channel = NettyChannelBuilder.forAddress(new PathAddress(words[0]))
            .eventLoopGroup(loops)
            .channelFactory(PumpedChannel::new)
            .usePlaintext()
            .build();
        if (!channel.authority().equals(words[0])) {
            throw new IllegalStateException("the authority is " + channel.authority());
        }
        for (int at = 1; at + 2 < words.length; at += 3) {
            call(channel, words[at], Path.of(words[at + 1]), Path.of(words[at + 2]));
        }
        channel.shutdownNow();
    }
}
