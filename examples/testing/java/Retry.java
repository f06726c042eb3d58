// A retry after a day in a moment: java -cp 'jars/*' Retry.java, beside `leveret serve --testing`.
import com.rabbitmq.client.ConnectionFactory;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.Base64;
import java.util.Map;

public class Retry {
    static final String API = System.getenv().getOrDefault("LEVERET_URL", "http://localhost:15672/api/leveret");
    static final String LOGIN = "Basic " + Base64.getEncoder().encodeToString("guest:guest".getBytes());

    static String leveret(String path, String body) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(API + "/" + path)).header("Authorization", LOGIN)
            .header("Content-Type", "application/json").POST(HttpRequest.BodyPublishers.ofString(body)).build();
        var answer = HttpClient.newHttpClient().send(request, BodyHandlers.ofString());
        if (answer.statusCode() >= 300) throw new AssertionError(answer.body());
        return answer.body();
    }

    public static void main(String[] arguments) throws Exception {
        var factory = new ConnectionFactory();
        factory.setUri(System.getenv().getOrDefault("AMQP_URL", "amqp://guest:guest@localhost"));
        try (var connection = factory.newConnection(); var channel = connection.createChannel()) {
            channel.queueDeclare("work", true, false, false, null);
            channel.queueDeclare("retry", true, false, false, Map.of("x-message-ttl", 86400000,
                "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "work"));
            channel.basicPublish("", "retry", null, "job".getBytes());
            leveret("clock/freeze", "{}");
            leveret("clock/advance", "{\"by\": 86400}");
            var job = channel.basicGet("work", true);
            if (!"job".equals(new String(job.getBody()))) throw new AssertionError("no job");
            leveret("faults", "{\"on\": \"confirms\", \"do\": \"nack\"}");
            channel.confirmSelect();
            channel.basicPublish("", "work", null, "refused".getBytes());
            System.out.println("retried, and confirmed: " + channel.waitForConfirms());
        }
    }
}
