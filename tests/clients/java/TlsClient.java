import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultSaslConfig;
import com.rabbitmq.client.GetResponse;
import java.io.FileInputStream;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Connects over TLS with a certificate, logs in by it or with a token, and gets a message back. */
public class TlsClient {
  public static void main(String[] args) throws Exception {
    int port = Integer.parseInt(args[0]);
    String authority = args[1], identity = args[2], token = args[3];

    KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
    trusted.load(null);
    try (FileInputStream file = new FileInputStream(authority)) {
      trusted.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
    }
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(trusted);

    KeyStore own = KeyStore.getInstance("PKCS12");
    try (FileInputStream file = new FileInputStream(identity)) {
      own.load(file, "secret".toCharArray());
    }
    KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    keys.init(own, "secret".toCharArray());

    SSLContext context = SSLContext.getInstance("TLS");
    context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);

    ConnectionFactory factory = new ConnectionFactory();
    factory.setHost("localhost");
    factory.setPort(port);
    factory.useSslProtocol(context);
    factory.enableHostnameVerification();
    factory.setAutomaticRecoveryEnabled(false);
    if (token.isEmpty()) {
      factory.setSaslConfig(DefaultSaslConfig.EXTERNAL);
    } else {
      factory.setUsername("");
      factory.setPassword(token);
    }
    try (Connection connection = factory.newConnection()) {
      Channel channel = connection.createChannel();
      channel.confirmSelect();
      String queue = channel.queueDeclare().getQueue();
      byte[] body = new byte[200_000];
      body[199_999] = 7;
      channel.basicPublish("", queue, null, body);
      channel.waitForConfirmsOrDie(10_000);
      GetResponse message = channel.basicGet(queue, true);
      if (message.getBody().length != body.length || message.getBody()[199_999] != 7) {
        throw new IllegalStateException("another message");
      }
    }
    System.out.println("done");
  }
}
