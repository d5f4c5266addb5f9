// Swagger UI with what keyboards and screen readers need; see legible.css for the eyes.

const forEverybody = ({ React }) => ({
  wrapComponents: {
    // A link within the button that opens an operation: the button is enough.
    DeepLink: () => ({ text }) => React.createElement("span", null, text),
    // There is one server, this one.
    ServersContainer: () => () => null,
    // Fields and lists of values have no name.
    JsonSchema_string: (Field) => (props) => React.createElement(
      "label", null, React.createElement("span", { className: "named" }, props.description), React.createElement(Field, props)),
  },
});

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
  plugins: [forEverybody],
});
