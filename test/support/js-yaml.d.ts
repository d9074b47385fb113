/** gray-matter's YAML parser, which has no types of its own. */
declare module "js-yaml" {
  const yaml: { load(text: string): unknown };
  export default yaml;
}
