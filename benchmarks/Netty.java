// Netty's CompositeByteBuf doing what framing.py measures. Reads "chunk frame nbytes" lines, answers with the
// nanoseconds of processor time that one pass takes. Before the first answer to a question it runs for a while, so
// that the compiler has settled.

import io.netty.buffer.ByteBuf;
import io.netty.buffer.CompositeByteBuf;
import io.netty.buffer.Unpooled;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;

public class Netty {
    static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();
    static final long WARM_UP_NANOSECONDS = 300_000_000L;
    static final long LEAST_NANOSECONDS = 5_000_000L;

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

    static double timed(byte[][] chunks, int frame, int nbytes) {
        long start = THREADS.getCurrentThreadCpuTime();
        long spent = 0;
        int passes = 0;
        for (; spent < LEAST_NANOSECONDS; passes++) {
            if (cut(chunks, frame) != (long) nbytes / frame * frame) {
                throw new AssertionError("not all was cut");
            }
            spent = THREADS.getCurrentThreadCpuTime() - start;
        }
        return (double) spent / passes;
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
