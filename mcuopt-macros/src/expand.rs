//! From a call of the macro to the model's code, or to errors where the mistake is.

use std::path::{Path, PathBuf};

use mcuopt_codegen::{Errors, Options, compile, tracked_files};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::Ident;

use crate::invocation::Invocation;

pub(crate) fn expand(invocation: &Invocation) -> TokenStream {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let mut options = Options {
        root,
        model: invocation.path.value().into(),
        name: invocation.name.as_ref().map(Ident::to_string),
        ..Options::default()
    };
    let mut mistakes = TokenStream::new();
    for (key, value, span) in &invocation.settings {
        if let Err(error) = options.set(&key.to_string(), value.clone()) {
            let known = mcuopt_codegen::options::KEYS.contains(&key.to_string().as_str());
            let span = if known { *span } else { key.span() };
            mistakes.extend(syn::Error::new(span, error.kind).into_compile_error());
        }
    }
    let tracked = tracked_files(&options);
    if !mistakes.is_empty() {
        return failed(invocation, &options, &tracked, mistakes);
    }
    match compile(&options) {
        Ok(compiled) => {
            let folder = options.model.parent().unwrap_or(Path::new(""));
            let side_files: Vec<PathBuf> = compiled.side_files.iter().map(|path| folder.join(path)).collect();
            let code = compiled.tokens(&invocation.visibility.to_token_stream());
            let notes = compiled.notes.iter().map(|note| warning(invocation.path.span(), note));
            let track = track(&options, tracked.iter().chain(&side_files));
            quote!(#code #(#notes)* #track)
        }
        Err(errors) => {
            let errors = at_path(invocation, &errors);
            failed(invocation, &options, &tracked, errors)
        }
    }
}

/// Each error on the path literal.
fn at_path(invocation: &Invocation, errors: &Errors) -> TokenStream {
    errors.iter().map(|error| syn::Error::new(invocation.path.span(), error).into_compile_error()).collect()
}

/// Errors, and a type that stands in for the model, so that the user's code does not fail for the lack of it, too.
fn failed(invocation: &Invocation, options: &Options, tracked: &[PathBuf], errors: TokenStream) -> TokenStream {
    let track = track(options, tracked.iter());
    let Ok(name) = options.type_name() else { return quote!(#errors #track) };
    let name = Ident::new(&name, Span::call_site());
    let visibility = &invocation.visibility;
    quote! {
        #errors
        #track
        #[allow(dead_code)]
        #visibility struct #name;
        #[allow(dead_code, unreachable_code, unused_variables)]
        impl #name {
            pub const RAM_BYTES: usize = 0;
            pub const WEIGHT_BYTES: usize = 0;
            pub const MACS: u64 = 0;
            pub const LAYERS: [::mcuopt_rt::Layer; 0] = [];
            pub const fn new() -> Self { Self }
            pub fn reset(&mut self) {}
            pub fn input_mut<T>(&mut self) -> &mut T { loop {} }
            pub fn run<T>(&mut self) -> T { loop {} }
            pub fn infer<I, T>(&mut self, input: I) -> T { loop {} }
            pub fn predict<I, T>(&mut self, input: I) -> T { loop {} }
        }
    }
}

/// A warning of rustc: the one kind that a macro can cause is the use of something deprecated.
fn warning(span: Span, note: &str) -> TokenStream {
    let note = format!("mcuopt: {note}");
    let name = format_ident!("NOTE", span = span);
    quote_spanned! { span =>
        const _: () = {
            #[deprecated(note = #note)]
            const #name: () = ();
            #name
        };
    }
}

/// Makes rustc depend on the files: the macro runs again when one of them changes.
fn track<'a>(options: &Options, files: impl Iterator<Item = &'a PathBuf>) -> TokenStream {
    let mut tokens = TokenStream::new();
    for file in files.filter(|file| options.root.join(file).is_file()) {
        let path = match file.is_absolute() {
            true => file.display().to_string().to_token_stream(),
            false => {
                let relative = format!("/{}", file.display());
                quote!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), #relative))
            }
        };
        tokens.extend(quote!(
            const _: &[u8] = ::core::include_bytes!(#path);
        ));
    }
    tokens
}
