// Helm: lints a chart, and prints its manifests with some values files. Ends with 1 and the reason if Helm refuses it.

import java.nio.file.Path;

class Helm {
    /** Arguments: the chart's folder, then values files. The release is `is`, in the namespace `tasks`. */
    public static void main(String[] arguments) {
        var helm = new com.marcnuri.helm.Helm(Path.of(arguments[0]));
        var manifests = helm.template().withName("is").withNamespace("tasks").withKubeVersion("1.37");
        for (int n = 1; n < arguments.length; n++) {
            manifests.withValuesFile(Path.of(arguments[n]));
        }
        try {
            System.out.println(manifests.call());
        } catch (IllegalStateException refused) {
            System.err.println(refused.getMessage());
            System.exit(1);
        }
    }
}
