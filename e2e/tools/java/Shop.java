import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.metrics.DoubleGauge;
import io.opentelemetry.api.metrics.DoubleHistogram;
import io.opentelemetry.api.metrics.LongCounter;
import io.opentelemetry.api.metrics.LongUpDownCounter;
import io.opentelemetry.api.metrics.Meter;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * A program under the OpenTelemetry Java agent: it serves HTTP, calls itself, records with instruments of its own and
 * collects garbage, again and again, until its standard input ends. The agent measures and exports.
 *
 * <p>javac -cp 'FOLDER/*' -d CLASSES Shop.java; java -javaagent:AGENT.jar -cp 'CLASSES:FOLDER/*' Shop
 *
 * <p>The last line is how many rounds there were.
 */
public class Shop {
    private static final AttributeKey<String> TIER = AttributeKey.stringKey("shop.tier");
    private static final AttributeKey<Boolean> NEW = AttributeKey.booleanKey("shop.new");
    // Sums of these are exact in whatever order they are added. One lies on a bound.
    private static final double[] LATENCIES = {0.0625, 0.25, 0.25, 0.375, 7.5};
    private static final List<Double> BOUNDS = List.of(0.125, 0.25, 0.5, 5.0);
    // Between two rounds: the processor is not for them alone.
    private static final long PAUSE_MS = 100;

    public static void main(String[] arguments) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/orders", Shop::answer);
        server.start();
        String base = "http://127.0.0.1:" + server.getAddress().getPort();
        HttpClient client = HttpClient.newHttpClient();

        Meter meter = GlobalOpenTelemetry.getMeter("tracepipe-e2e");
        LongCounter orders = meter.counterBuilder("shop.orders").setUnit("{order}").setDescription("orders taken").build();
        LongUpDownCounter waiting = meter.upDownCounterBuilder("shop.waiting").setUnit("{order}").build();
        DoubleHistogram latency =
                meter.histogramBuilder("shop.latency").setUnit("s").setExplicitBucketBoundariesAdvice(BOUNDS).build();
        DoubleGauge fill = meter.gaugeBuilder("shop.fill").setUnit("%").build();
        meter.gaugeBuilder("shop.load").setUnit("1").buildWithCallback(it -> it.record(0.25));

        CountDownLatch over = new CountDownLatch(1);
        Thread input = new Thread(() -> awaitEnd(over));
        input.setDaemon(true);
        input.start();
        long rounds = 0;
        do {
            for (String path : new String[] {"/orders", "/orders?fail", "/nothing"}) {
                client.send(HttpRequest.newBuilder(URI.create(base + path)).build(), BodyHandlers.discarding());
            }
            orders.add(2, Attributes.of(TIER, "gold"));
            orders.add(1, Attributes.of(TIER, "silver", NEW, true));
            waiting.add(rounds == 0 ? 3 : -1);
            fill.set(12.5 * (rounds % 8));
            for (double value : LATENCIES) {
                latency.record(value);
            }
            System.gc();
            rounds += 1;
        } while (!over.await(PAUSE_MS, TimeUnit.MILLISECONDS));
        server.stop(0);
        System.out.println(rounds);
    }

    private static void awaitEnd(CountDownLatch over) {
        try {
            System.in.transferTo(OutputStream.nullOutputStream());
        } catch (IOException problem) {
            System.err.println("standard input cannot be read, which is taken for its end: " + problem);
        }
        over.countDown();
    }

    private static void answer(HttpExchange exchange) throws IOException {
        boolean fails = "fail".equals(exchange.getRequestURI().getQuery());
        exchange.sendResponseHeaders(fails ? 500 : 204, -1);
        exchange.close();
    }
}
