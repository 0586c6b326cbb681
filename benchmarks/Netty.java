// Netty's CompositeByteBuf doing what framing.py measures. Reads "chunk frame nbytes" lines, answers with the
// nanoseconds that one pass took. Before the first answer to a question it runs until the compiler has settled.

import io.netty.buffer.ByteBuf;
import io.netty.buffer.CompositeByteBuf;
import io.netty.buffer.Unpooled;
import java.io.BufferedReader;
import java.io.InputStreamReader;

public class Netty {
    static final long WARM_UP_NANOSECONDS = 300_000_000L;

    static long cut(byte[][] chunks, int frame) {
        CompositeByteBuf buffer = Unpooled.compositeBuffer(Integer.MAX_VALUE);
        long total = 0;
        for (byte[] chunk : chunks) {
            buffer.addComponent(true, Unpooled.wrappedBuffer(chunk));
            while (buffer.readableBytes() >= frame) {
                ByteBuf taken = buffer.readRetainedSlice(frame);
                total += taken.readableBytes();
                taken.release();
            }
            buffer.discardReadComponents();
        }
        buffer.release();
        return total;
    }

    static byte[][] split(int chunk, int nbytes) {
        byte[][] chunks = new byte[(nbytes + chunk - 1) / chunk][];
        for (int k = 0; k < chunks.length; k++) {
            chunks[k] = new byte[Math.min(chunk, nbytes - k * chunk)];
        }
        return chunks;
    }

    static long timed(byte[][] chunks, int frame, int nbytes) {
        long start = System.nanoTime();
        long total = cut(chunks, frame);
        long spent = System.nanoTime() - start;
        if (total != (long) nbytes / frame * frame) {
            throw new AssertionError("cut " + total + " of " + nbytes + " bytes");
        }
        return spent;
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader questions = new BufferedReader(new InputStreamReader(System.in));
        String last = "";
        byte[][] chunks = {};
        for (String question = questions.readLine(); question != null; question = questions.readLine()) {
            String[] words = question.split(" ");
            int frame = Integer.parseInt(words[1]);
            int nbytes = Integer.parseInt(words[2]);
            if (!question.equals(last)) {
                chunks = split(Integer.parseInt(words[0]), nbytes);
                for (long start = System.nanoTime(); System.nanoTime() - start < WARM_UP_NANOSECONDS; ) {
                    cut(chunks, frame);
                }
                last = question;
            }
            System.out.println(timed(chunks, frame, nbytes));
        }
    }
}
