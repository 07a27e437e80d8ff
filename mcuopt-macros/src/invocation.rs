//! The macro's grammar.

use mcuopt_codegen::options::Setting;
use proc_macro2::Span;
use syn::parse::{Parse, ParseStream};
use syn::{Ident, LitInt, LitStr, Token, Visibility};

/// A parsed call of the macro.
pub(crate) struct Invocation {
    /// Of the type.
    pub(crate) visibility: Visibility,
    /// The type's name, if the user chose it.
    pub(crate) name: Option<Ident>,
    /// The ONNX file.
    pub(crate) path: LitStr,
    /// The options, in order.
    pub(crate) settings: Vec<(Ident, Setting, Span)>,
}

impl Parse for Invocation {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let visibility = input.parse()?;
        let name = if input.peek(Ident) && input.peek2(Token![=]) {
            let name = input.parse()?;
            input.parse::<Token![=]>()?;
            Some(name)
        } else {
            None
        };
        if !input.peek(LitStr) {
            return Err(input.error("expected the path of an ONNX file in quotes, as in include_model!(\"kws.onnx\")"));
        }
        let path = input.parse()?;
        let mut settings: Vec<(Ident, Setting, Span)> = Vec::new();
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if input.is_empty() {
                break;
            }
            let key: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            if settings.iter().any(|(other, ..)| *other == key) {
                return Err(syn::Error::new(key.span(), format!("`{key}` is given twice")));
            }
            let (value, span) = setting(input)?;
            settings.push((key, value, span));
        }
        Ok(Self { visibility, name, path, settings })
    }
}

/// A string, or a product of integers, so that sizes may be written as `24 * 1024`.
fn setting(input: ParseStream<'_>) -> syn::Result<(Setting, Span)> {
    if input.peek(LitStr) {
        let text: LitStr = input.parse()?;
        return Ok((Setting::Text(text.value()), text.span()));
    }
    let first: LitInt =
        input.parse().map_err(|error| syn::Error::new(error.span(), "expected a string or a number"))?;
    let mut product: usize = first.base10_parse()?;
    while input.peek(Token![*]) {
        input.parse::<Token![*]>()?;
        let factor: LitInt = input.parse()?;
        let value = factor.base10_parse()?;
        let overflow = || syn::Error::new(factor.span(), "the number is too large");
        product = product.checked_mul(value).ok_or_else(overflow)?;
    }
    Ok((Setting::Number(product), first.span()))
}
