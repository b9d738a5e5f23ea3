// Java's own HttpClient: tasks one after another, then several at once, on one client; prints each status and answer.

import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

class Client {
    /** Arguments: the gateway's URL, HTTP_2 (which offers h2c) or HTTP_1_1, and `string`, `stream` (chunked) or `expect`. */
    public static void main(String[] arguments) throws Exception {
        var uri = URI.create(arguments[0] + "/tasks");
        var client = HttpClient.newBuilder().version(HttpClient.Version.valueOf(arguments[1])).build();
        for (int number = 0; number < 5; number++) {
            print(client.send(request(uri, arguments[2], number), BodyHandlers.ofString()));
        }
        List<CompletableFuture<HttpResponse<String>>> answers = new ArrayList<>();
        for (int number = 5; number < 15; number++) {
            answers.add(client.sendAsync(request(uri, arguments[2], number), BodyHandlers.ofString()));
        }
        for (var answer : answers) {
            print(answer.get());
        }
    }

    static HttpRequest request(URI uri, String how, int number) {
        String body = "{\"task_id\": %d, \"task_type\": \"phone\", \"data\": \"8 916 %d\"}".formatted(number, number);
        BodyPublisher publisher = how.equals("stream")
            ? BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body.getBytes()))
            : BodyPublishers.ofString(body);
        return HttpRequest.newBuilder(uri)
            .timeout(Duration.ofSeconds(60))
            .header("Content-Type", "application/json")
            .expectContinue(how.equals("expect"))
            .POST(publisher)
            .build();
    }

    static void print(HttpResponse<String> answer) {
        System.out.println(answer.statusCode() + " " + answer.body());
    }
}
